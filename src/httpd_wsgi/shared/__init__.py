"""What processes of several kinds use: Python's side of src/wire, and tools without a subject of
their own.
"""
