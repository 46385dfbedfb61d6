"""Others who can do the same job, each written as its own users would write it."""
