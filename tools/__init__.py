"""Made by hand, now and then: the sample, the pictures, the catalogues."""
