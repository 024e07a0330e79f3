"""How is the project built, checked and run? One file a command; logic that grew lives in ``gates``."""
