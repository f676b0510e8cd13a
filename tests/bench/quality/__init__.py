"""Is the promised share of wrong hits kept, and how many hits does that leave?"""
