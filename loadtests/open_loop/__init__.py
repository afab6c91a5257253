"""The driver of an open loop: Locust users that start what arrives when it arrives, each in a process of its own."""
