"""What a fit is worth: information, twins, bias."""
