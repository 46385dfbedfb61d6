"""Benchmarks: the product as a user runs it, beside what else could do its job. See CONTRIBUTING.md."""
