"""One file a mode of main.py; here, and nowhere below, configs are unpacked."""
