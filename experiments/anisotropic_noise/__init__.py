"""Noise with a spectrum: are networks that learned under it better, and where?"""
