"""PSNR, relative error and the blind guess, by hand."""

import math

import pytest
import torch

from privfl.evaluate._psnr import blind_images, psnr, relative_error


def test_psnr_is_ten_times_the_logarithm_of_one_over_the_error():
    truth = torch.zeros(3, 1, 2, 2)
    images = torch.stack([torch.full((1, 2, 2), error) for error in (0.1, 0.5, 1.0)])
    assert psnr(images, truth).tolist() == pytest.approx([20, 20 * math.log10(2), 0], abs=1e-5)


def test_an_exact_image_has_200_db_and_not_infinity():
    assert psnr(torch.ones(1, 3, 3), torch.ones(1, 3, 3)).item() == 200


def test_errors_beyond_float32_are_told_apart():
    truth = torch.full((1, 8, 8), 0.5, dtype=torch.float64)
    assert psnr(truth + 1e-9, truth).item() == pytest.approx(180, abs=0.01)


def test_relative_error_is_by_image():
    truth = torch.stack([torch.full((4, 4), 0.5), torch.full((4, 4), 1.0)])
    assert relative_error(truth + 0.25, truth).tolist() == pytest.approx([0.5, 0.25])


def test_the_blind_guess_is_the_mean_of_the_prior_or_grey_and_nothing_of_the_truth():
    truth, prior = torch.rand(3, 1, 4, 4), torch.rand(7, 1, 4, 4)
    assert torch.equal(blind_images(truth, prior), prior.mean(dim=0).expand(3, 1, 4, 4))
    assert torch.equal(blind_images(truth), torch.full((3, 1, 4, 4), 0.5))
