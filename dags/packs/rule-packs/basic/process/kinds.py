"""Kinds: why an object was not judged; those of hdm_not_judged, and OK. And what they say to a reader."""

EXPLAINED, ERROR, NO_METRICS, RETIRED, GONE, USUAL = "explained", "error", "no metrics", "retired", "gone", "usual"
NO_HISTORY, NOT_APPLICABLE, OK = "no history", "not applicable", "ok"
# Of several objects of an incident, the first decides
ORDER = (EXPLAINED, ERROR, NO_METRICS, NO_HISTORY, NOT_APPLICABLE, USUAL, RETIRED, GONE, OK)
REASONS = {
    EXPLAINED: "still found, but another alert stands for it",
    ERROR: "the rule could not be judged",
    NO_METRICS: "the metrics are missing, in whole or in part",
    NO_HISTORY: "there is no earlier date to compare with",
    NOT_APPLICABLE: "the metric is null, or a condition of the rule does not hold",
    USUAL: "still found, but no news any more: it is what later dates are compared with, or was accepted",
    RETIRED: "the rule is off, was replaced, or does not cover it any more",
    GONE: "the table or column no longer exists",
}
