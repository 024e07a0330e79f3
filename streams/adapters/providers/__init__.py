"""Who answers a call: one module a kind of provider. ``echo`` is the free one; it needs no key and no network."""
