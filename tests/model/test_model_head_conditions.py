"""A closed form for conditions enters the head as what the table says."""

import numpy as np
import torch

from surrogate3d.model.head import CLOSED_FORM, Denoised

DOSES = torch.tensor([0.5, 2.0, 6.0])
FIELD = Denoised(torch.rand(12, 4), torch.rand(4, 6), torch.full((2, 4), 0.4), torch.full((2, 4), 0.2))
FACTORS = torch.log(torch.tensor([[1.0, 0.5, 0.4, 0.3], [1.0, 0.6, 0.5, 0.4]]))


def test_alpha_and_sqrt_beta_are_multiplied_for_every_line():
    found = FIELD.under((*CLOSED_FORM, "other"), torch.cat([FACTORS, torch.ones(1, 4)]))
    np.testing.assert_allclose(found.alpha[1], 0.4 * FACTORS[0].exp(), rtol=1e-6)
    np.testing.assert_allclose(found.sqrt_beta[0], 0.2 * FACTORS[1].exp(), rtol=1e-6)
    by_hand = 0.4 * 0.3 * DOSES + (0.2 * 0.4 * DOSES) ** 2
    np.testing.assert_allclose(found.effect(DOSES)[0, :, 3], by_hand, rtol=1e-6)
    assert found.share is FIELD.share


def test_the_order_of_the_names_does_not_matter():
    turned = FIELD.under(CLOSED_FORM[::-1], FACTORS.flip(0))
    torch.testing.assert_close(turned.alpha, FIELD.under(CLOSED_FORM, FACTORS).alpha)


def test_without_a_closed_form_it_is_the_field_itself():
    assert FIELD.under((), None) is FIELD
    assert FIELD.under(("log_pO2",), torch.zeros(1, 4)) is FIELD
