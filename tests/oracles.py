"""Independent NumPy oracles: each sampler as its paper or code base writes it.

Nothing here comes from specjax. Levels are log signal-to-noise ratios, noisy to clean; a sampler
runs in the process that its source uses, ``denoise(x, alpha, sigma)`` estimates the clean data and
``noise(k)`` is the unit noise of step k.

Numbers are float64, or Python's ``Decimal`` in arrays of objects (:func:`exactly`): the same lines
then give as many digits as the context has.
"""

import decimal
import math
from decimal import Decimal
from typing import NamedTuple

import numpy as np
from scipy import special


def _function(of_floats, of_decimals):
    elementwise = np.frompyfunc(of_decimals, 1, 1)

    def function(x):
        exact = isinstance(x, Decimal) or (isinstance(x, np.ndarray) and x.dtype.hasobject)
        return elementwise(x) if exact else of_floats(x)

    return function


exp, sqrt = _function(np.exp, Decimal.exp), _function(np.sqrt, Decimal.sqrt)
log, expm1 = _function(np.log, Decimal.ln), _function(np.expm1, lambda x: x.exp() - 1)
expit = _function(special.expit, lambda x: 1 / (1 + (-x).exp()))
exactly = np.frompyfunc(Decimal, 1, 1)


def digits(n):
    """A context of n digits whose exponents have no end."""
    return decimal.localcontext(prec=n, Emax=decimal.MAX_EMAX, Emin=decimal.MIN_EMIN)


def eta_family(denoise, x, logsnr, noise, eta):
    # 2010.02502, eq. 12 and 16; A is alpha_bar at the current level, B at the next.
    for k in range(len(logsnr) - 1):
        A, B = expit(logsnr[k]), expit(logsnr[k + 1])
        rest_A, rest_B = expit(-logsnr[k]), expit(-logsnr[k + 1])
        c = eta * sqrt(rest_B / rest_A) * sqrt((rest_A - rest_B) / B)
        a = sqrt((rest_B - c**2) / rest_A)
        b = sqrt(B) - sqrt(A) * a
        x = a * x + b * denoise(x, sqrt(A), sqrt(rest_A)) + c * noise(k)
    return x


def ddpm(denoise, x, logsnr, noise, variance):
    # 2006.11239, algorithm 2 with eq. 11 for the mean; section 3.2 for the two variances.
    for k in range(len(logsnr) - 1):
        A, B = expit(logsnr[k]), expit(logsnr[k + 1])
        rest_A, rest_B = expit(-logsnr[k]), expit(-logsnr[k + 1])
        beta = (rest_A - rest_B) / B
        eps = (x - sqrt(A) * denoise(x, sqrt(A), sqrt(rest_A))) / sqrt(rest_A)
        x = (x - beta / sqrt(rest_A) * eps) / sqrt(A / B)
        if rest_B > 0:  # "z = 0 at t = 1"
            x = x + sqrt(beta if variance == "beta" else rest_B / rest_A * beta) * noise(k)
    return x


def ddpm_ve(denoise, x, logsnr, noise, variance):
    # 2011.13456: eq. 46 (the forward kernel's variance), eq. 47 (ancestral), with the score.
    sigmas = exp(-logsnr / 2)
    for k in range(len(sigmas) - 1):
        now, after = sigmas[k] ** 2, sigmas[k + 1] ** 2
        x = x + (now - after) * (denoise(x, 1, sigmas[k]) - x) / now
        if after > 0:
            x = x + sqrt((now - after) * (1 if variance == "beta" else after / now)) * noise(k)
    return x


def euler_ancestral(denoise, x, logsnr, noise, eta):
    # k-diffusion, sample_euler_ancestral and get_ancestral_step.
    sigmas = exp(-logsnr / 2)
    for k in range(len(sigmas) - 1):
        now, after = sigmas[k], sigmas[k + 1]
        up = min(after, eta * sqrt(after**2 * (now**2 - after**2) / now**2))
        down = sqrt(after**2 - up**2)
        slope = (x - denoise(x, 1, now)) / now
        x = x + slope * (down - now) + up * noise(k)
    return x


def heun(denoise, x, logsnr, noise):
    # EDM, 2206.00364, algorithm 1 with sigma(t) = t, s(t) = 1.
    t = exp(-logsnr / 2)
    for k in range(len(t) - 1):
        slope = (x - denoise(x, 1, t[k])) / t[k]
        euler = x + (t[k + 1] - t[k]) * slope
        if t[k + 1] > 0:
            corrected = (euler - denoise(euler, 1, t[k + 1])) / t[k + 1]
            x = x + (t[k + 1] - t[k]) * (slope + corrected) / 2
        else:
            x = euler
    return x


def dpmpp_2m(denoise, x, logsnr, noise):
    # 2211.01095, algorithm 2, in VP; first order in the step to sigma = 0, as every pipeline does.
    alpha, sigma, lam = sqrt(expit(logsnr)), sqrt(expit(-logsnr)), logsnr / 2
    past = None
    for k in range(len(lam) - 1):
        h = lam[k + 1] - lam[k]
        estimate = denoise(x, alpha[k], sigma[k])
        D = estimate
        if past is not None and sigma[k + 1] > 0:
            r = (lam[k] - lam[k - 1]) / h
            D = (1 + 1 / (2 * r)) * estimate - 1 / (2 * r) * past
        x = sigma[k + 1] / sigma[k] * x - alpha[k + 1] * expm1(-h) * D
        past = estimate
    return x


def dpmpp_2m_sde(denoise, x, logsnr, noise, eta):
    # k-diffusion, sample_dpmpp_2m_sde with solver_type="midpoint".
    sigmas = exp(-logsnr / 2)
    past = h_past = None
    for k in range(len(sigmas) - 1):
        estimate = denoise(x, 1, sigmas[k])
        if sigmas[k + 1] == 0:
            x = estimate
        else:
            h = log(sigmas[k]) - log(sigmas[k + 1])
            x = sigmas[k + 1] / sigmas[k] * exp(-eta * h) * x
            x = x - expm1(-h - eta * h) * estimate
            if past is not None:
                r = h_past / h
                x = x - expm1(-h - eta * h) / (2 * r) * (estimate - past)
            x = x + noise(k) * sigmas[k + 1] * sqrt(-expm1(-2 * eta * h))
            h_past = h
        past = estimate
    return x


def lms(denoise, x, logsnr, noise, order):
    # k-diffusion, sample_lms and linear_multistep_coeff, whose integral is exact here: over the
    # step, u in [0, 1], the polynomial is a product of factors (u + gap_k) / (gap_k - gap_j).
    t = exp(-logsnr / 2)
    slopes = []
    for i in range(len(t) - 1):
        slopes = [(x - denoise(x, 1, t[i])) / t[i], *slopes][:order]
        step = t[i + 1] - t[i]
        for j, slope in enumerate(slopes):
            polynomial = [step**0]  # coefficients of 1, u, u^2, ...
            for k in set(range(len(slopes))) - {j}:
                gap = (t[i] - t[i - k]) / step
                longer = [gap * c for c in polynomial] + [0]
                polynomial = [a + b for a, b in zip(longer, [0, *polynomial], strict=True)]
                polynomial = [c * step / (t[i - j] - t[i - k]) for c in polynomial]
            x = x + step * sum(c / (n + 1) for n, c in enumerate(polynomial)) * slope
    return x


# For each sampler the process of each source.
ORACLES = {
    "ddim": {"vp": eta_family},
    "ddpm": {"vp": ddpm, "ve": ddpm_ve},
    "euler_ancestral": {"ve": euler_ancestral},
    "heun": {"ve": heun},
    "dpmpp_2m": {"vp": dpmpp_2m},
    "dpmpp_2m_sde": {"ve": dpmpp_2m_sde},
    "lms": {"ve": lms},
}


class Responses(NamedTuple):
    gain: np.ndarray  # [d], to unit starting noise
    mean_gain: np.ndarray  # [d], to a unit mean
    noise_gains: np.ndarray  # [S, d], to the unit noise of each step

    @property
    def variance(self):
        return self.gain**2 + (self.noise_gains**2).sum(0)


def gaussian_denoiser(eigenvalues, mean):
    def denoise(x, alpha, sigma):
        gain = alpha * eigenvalues * x + sigma**2 * mean
        return gain / (alpha**2 * eigenvalues + sigma**2)

    return denoise


def scales(logsnr, process):
    if process == "vp":
        return sqrt(expit(logsnr)), sqrt(expit(-logsnr))
    if process == "flow":  # 1 - t and t, t = s / (1 + s)
        return expit(logsnr / 2), expit(-logsnr / 2)
    return logsnr**0, exp(-logsnr / 2)


def responses(name, logsnr, eigenvalues, process, **options):
    """Unit responses of a sampler with the exact Gaussian denoiser.

    Each row of the state answers to one unit: the starting noise, the mean, the noise of each
    step. A source in the other process is run there and read in x / alpha, which is the same.
    """
    steps = len(logsnr) - 1
    sources = ORACLES[name]
    native = process if process in sources else next(iter(sources))
    alpha, sigma = scales(logsnr, process)
    native_alpha, _ = scales(logsnr, native)
    start = 1 if process == "vp" else sigma[0]

    unit = np.eye(steps + 2, dtype=int)[:, :, None] * eigenvalues**0  # [which unit, row, d]
    x = unit[0] * start / alpha[0] * native_alpha[0]
    if eigenvalues.dtype == object:
        options = {k: Decimal(v) if isinstance(v, float) else v for k, v in options.items()}
    denoise = gaussian_denoiser(eigenvalues, unit[1])
    with np.errstate(divide="ignore"):
        out = sources[native](denoise, x, logsnr, lambda k: unit[2 + k], **options)
    out = out / native_alpha[-1] * alpha[-1]
    return Responses(out[0], out[1], out[2:])


def ddim_gain(logsnr, eigenvalues):
    """DDIM's D1 in VP: a product of cosines of the differences of phi = arctan(s / sqrt(lam))."""
    s = exp(-logsnr / 2)
    phi = np.arctan(s[:, None] / sqrt(eigenvalues))
    scale = sqrt(expit(logsnr[-1]) / expit(logsnr[0]))
    return scale * np.cos(phi[0]) / np.cos(phi[-1]) * np.cos(phi[:-1] - phi[1:]).prod(0)


def ddpm_variance(logsnr, eigenvalues):
    """DDPM's V in VP with the posterior variance; s_0 is the clean end."""
    s = exp(-logsnr[::-1] / 2)
    now, below = s[1:, None] ** 2, s[:-1, None] ** 2
    clean, noisy = expit(logsnr[-1]), expit(logsnr[0])
    steps = below * (now - below) / now / (eigenvalues + below) ** 2
    total = 1 / noisy / (eigenvalues + now[-1]) ** 2 + steps.sum(0)
    return clean * (eigenvalues + below[0]) ** 2 * total


def gaussian_flow_gain(noisy, clean, eigenvalues):
    """D1 in VP of the exact probability flow: std in x / alpha is sqrt(lam + s^2)."""
    ratio = (eigenvalues + math.exp(-clean)) / (eigenvalues + math.exp(-noisy))
    return sqrt(expit(clean) / expit(noisy) * ratio)


def tan_levels(eigenvalue, noisy, clean, steps):
    """DDIM's optimum for one eigenvalue: s = sqrt(lam) tan of equally spaced angles."""
    ends = np.arctan(exp(-np.array([noisy, clean]) / 2) / sqrt(eigenvalue))
    with np.errstate(divide="ignore"):
        return -2 * np.log(sqrt(eigenvalue) * np.tan(np.linspace(*ends, steps + 1)))
