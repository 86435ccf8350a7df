"""tap.py: tells in TAP what the tests in Python found."""


def check(what, found, expected=True):
    print("ok" if found == expected else "not ok", "-", what)
    if found != expected:
        print(f"# found {found!r}, not {expected!r}")
