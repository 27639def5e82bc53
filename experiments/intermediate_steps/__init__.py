"""Which frequencies are formed when, and does a rule made from it beat a fixed schedule?"""
