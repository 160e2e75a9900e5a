"""The command line: `app` holds the program, every other file one verb or one group of them."""
