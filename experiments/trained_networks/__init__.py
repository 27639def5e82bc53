"""Trained networks: does a better schedule, or a learned plan, give better samples?"""
