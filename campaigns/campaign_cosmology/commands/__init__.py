"""The fitters of the command line: configuration, one session, its text and its page."""
