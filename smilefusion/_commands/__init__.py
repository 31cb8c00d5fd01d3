"""Commands of the command line, one module each; `smilefusion.cli` parses and calls them."""
