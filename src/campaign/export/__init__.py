"""One run out of a campaign's stores: plain files that need nothing else, and the run once more from them."""
