"""What is the best schedule of a Gaussian, and what is it better by?"""
