"""RecTools: SASRec, a transformer over the order of a user's items; how long it trains is tuned on validation.

Source: Kang and McAuley, Self-Attentive Sequential Recommendation, ICDM 2018, with the loss of Petrov and Macdonald,
gSASRec (2023). Small and short, minutes of one core: a larger one, trained for longer, may do better.
"""

import logging
import math
import sys
import time
from typing import Any

import numpy as np
import pandas as pd
import torch
from common import Fold, tune_and_run
from pytorch_lightning import Trainer, seed_everything
from rectools.dataset import Dataset
from rectools.models import SASRecModel

STEPS = (75, 150, 300)  # of 128 users
BATCH = 128
SETTING = {"n_factors": 64, "n_blocks": 2, "n_heads": 2, "dropout_rate": 0.2, "session_max_len": 50, "lr": 1e-3}
LOSS = {"loss": "gBCE", "n_negatives": 16, "gbce_t": 0.75}


def trainer() -> Trainer:
    """Quiet, on the processor; how many epochs is said by `fit_partial`."""
    return Trainer(
        accelerator="cpu",
        deterministic=True,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        logger=False,
    )


class Sasrec:
    """Goes on training where it stopped, so that trying several lengths costs no more than the last of them."""

    def __init__(self) -> None:
        self._fold: Fold | None = None
        self._epochs = 0

    def lists(self, fold: Fold, setting: dict[str, Any]) -> np.ndarray:
        """The lists after so many steps, of the users that the peer knows."""
        if fold is not self._fold:
            self._begin(fold)
        epochs = math.ceil(setting["steps"] * BATCH / len(np.unique(fold.users)))
        more, started = epochs - self._epochs, time.perf_counter()
        self._model.fit_partial(self._dataset, min_epochs=more, max_epochs=more)
        self._epochs = epochs
        print(f"{epochs} epochs, the last {more} in {time.perf_counter() - started:.0f} s", file=sys.stderr, flush=True)
        known = np.intersect1d(fold.asked, self._dataset.user_id_map.external_ids)
        found = self._model.recommend(
            users=known, dataset=self._dataset, k=fold.k, filter_viewed=True, on_unsupported_targets="ignore"
        )
        rows = np.full((len(fold.asked), fold.k), -1, dtype=np.int32)
        rows[np.searchsorted(fold.asked, found["user_id"]), found["rank"] - 1] = found["item_id"]
        return rows

    def _begin(self, fold: Fold) -> None:
        seed_everything(1, verbose=False)
        # what was bought in one go has no order; the export's would be learned, as it is the same for all users
        order = np.lexsort((np.random.default_rng(1).random(len(fold.users)), fold.times, fold.users))
        events = pd.DataFrame({"user_id": fold.users[order], "item_id": fold.items[order], "weight": 1.0})
        times = pd.Timestamp("2020-01-01") + pd.to_timedelta(np.arange(len(events)), unit="s")
        self._dataset = Dataset.construct(events.assign(datetime=times))
        self._model = SASRecModel(**SETTING, **LOSS, batch_size=BATCH, get_trainer_func=trainer)
        self._fold, self._epochs = fold, 0


if __name__ == "__main__":
    torch.set_num_threads(1)
    for name in ("pytorch_lightning", "lightning.pytorch"):
        logging.getLogger(name).setLevel(logging.ERROR)
    tune_and_run("rectools_sasrec", Sasrec().lists, [{"steps": steps} for steps in STEPS])
