"""How good, and how dear, are plans learned through networks that others have published?"""
