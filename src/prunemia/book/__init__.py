"""The book: its pages found, checked, executed and built.

Nothing here imports torch: a refusal takes a second.
"""
