"""An app for `loopback`: it needs the folder of the tests on its path."""
