"""The book: its pages found, checked, executed and built; nothing here imports torch."""
