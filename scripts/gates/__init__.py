"""Which laws of the project can a machine check? One module a law; standard library only, no installation needed."""
