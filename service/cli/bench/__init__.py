"""Measurements that the project keeps: each compares two ways of doing one thing within one run."""
