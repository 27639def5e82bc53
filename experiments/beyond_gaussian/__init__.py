"""How far the Gaussian assumption carries, on priors whose denoisers are exact."""
