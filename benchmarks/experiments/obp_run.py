"""Runs inside obp's own folder: its estimates, and the arrays that they are made of. Called by `open_bandit.py`."""

import json
import sys

import numpy as np
from obp.dataset import OpenBanditDataset
from obp.ope import (
    DoublyRobust,
    InverseProbabilityWeighting,
    RegressionModel,
    SelfNormalizedInverseProbabilityWeighting,
)
from obp.policy import BernoulliTS
from sklearn.linear_model import LogisticRegression

random = OpenBanditDataset(behavior_policy="random", campaign="all").obtain_batch_bandit_feedback()
truth = OpenBanditDataset(behavior_policy="bts", campaign="all").obtain_batch_bandit_feedback()["reward"].mean()
policy = BernoulliTS(n_actions=80, len_list=3, is_zozotown_prior=True, campaign="all", random_state=1)
dist = policy.compute_batch_action_dist(n_sim=20000, n_rounds=random["n_rounds"])
model = RegressionModel(n_actions=80, len_list=3, base_model=LogisticRegression(max_iter=200, random_state=1))
guess = model.fit_predict(
    context=random["context"],
    action=random["action"],
    reward=random["reward"],
    pscore=random["pscore"],
    position=random["position"],
    action_dist=dist,
    n_folds=2,
    random_state=1,
)
common = {
    "reward": random["reward"],
    "action": random["action"],
    "pscore": random["pscore"],
    "action_dist": dist,
    "position": random["position"],
}
values = {
    "ips": InverseProbabilityWeighting().estimate_policy_value(**common),
    "snips": SelfNormalizedInverseProbabilityWeighting().estimate_policy_value(**common),
    "dr": DoublyRobust().estimate_policy_value(**common, estimated_rewards_by_reg_model=guess),
}
rows, at = np.arange(random["n_rounds"]), random["position"]
np.savez(
    sys.argv[1],
    reward=random["reward"],
    propensity=random["pscore"],
    probability=dist[rows, random["action"], at],
    guess=guess[rows, random["action"], at],
    expected=(dist[rows, :, at] * guess[rows, :, at]).sum(axis=1),
)
print(json.dumps({"theirs": values, "truth": truth, "random": random["reward"].mean()}))
