"""What the package offers by name."""

import unsee


def test_every_public_name_is_there():
    for name in unsee.__all__:
        assert getattr(unsee, name) is not None
