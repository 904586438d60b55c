"""What every inversion attack takes out of a view and its knowledge, or refuses for want of."""

from torch import Tensor

from privfl.core import require, require_finite
from privfl.views import Knowledge, NotApplicable, View


def rows_of(view: View, knowledge: Knowledge) -> Tensor:
    """Return the opened updates without their declared tail: -> (rows, layout.dim).

    Raises:
        NotApplicable: where the vantage opened nothing, or something shorter than an update.
        ValueError: for NaN or Inf.
    """
    if view.rows is None:
        raise NotApplicable(f"The {view.vantage} opened no update: it holds ciphertexts or masks.")
    rows, dim = view.rows.sums, knowledge.layout.dim
    if rows.shape[1] < dim:
        raise NotApplicable(
            f"The rows have {rows.shape[1]} coordinates, and an update of this model has {dim}."
        )
    require_finite(rows[:, :dim])
    parameter = next(knowledge.model.parameters())
    return rows[:, :dim].detach().to(parameter.device, parameter.dtype)


def labels_of(knowledge: Knowledge, n_rows: int) -> Tensor:
    """Return the labels of the images behind each row: -> (n_rows, n_images).

    Raises:
        NotApplicable: where the attacker was not given them.
        ValueError: for labels of another shape.
    """
    if knowledge.labels is None:
        raise NotApplicable("The attack needs the labels, and the attacker does not know them.")
    wanted, found = (n_rows, knowledge.n_images), tuple(knowledge.labels.shape)
    require(found == wanted, f"labels must have shape {wanted}, (rows, n_images)", found)
    return knowledge.labels.to(next(knowledge.model.parameters()).device)


def blind_image(knowledge: Knowledge) -> Tensor:
    """Return the guess without any view: the mean of the prior, or mid-grey without one."""
    if knowledge.prior is None:
        return next(knowledge.model.parameters()).new_full(knowledge.shape, 0.5)
    return knowledge.prior.mean(dim=0).to(next(knowledge.model.parameters()))
