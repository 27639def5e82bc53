"""Do plans learned through a ladder of priors beat every schedule at few denoiser calls?"""
