"""`python -m pipeline` is `callscribe`."""

from pipeline.cli import main

if __name__ == "__main__":
    main()
