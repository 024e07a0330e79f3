"""The stages, in the order in which a request meets them. Each file is one stage; read them in this order.

admit       is it a request, and whose?
dedup       is its content already being asked, or answered?
retrieve    which passages belong to it?
assemble    what exactly is the provider sent?
infer       the provider's reply, paid for once
refine      may this reply be shown?
deliver     the one door of final answers
breaker     may a service be called, and who tries it?
park        back to where it was, once it has waited
bury        the original bytes of what was given up, with evidence
"""
