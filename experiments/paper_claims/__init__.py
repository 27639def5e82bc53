"""The paper's claims on networks that others have trained."""
