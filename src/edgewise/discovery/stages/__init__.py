"""Ways to find a formula: each proposes trees for a problem."""
