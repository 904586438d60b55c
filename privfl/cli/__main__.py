"""`python -m privfl.cli`."""

from privfl.cli import main

if __name__ == "__main__":
    main()
