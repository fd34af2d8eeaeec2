"""Where agents run: real processes for source code, in-process behaviours for ``emulator://`` images."""
