"""A package, since what it opens is open for as long as its tests run."""
