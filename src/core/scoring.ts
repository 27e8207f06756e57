/**
 * How a two-tower model was trained to turn scores (logit scale × cosine) into probabilities: what its probabilities
 * mean follows from it, so a model declares it.
 *
 * - `softmax`: the labels compete, and their probabilities sum to 1. CLIP, arXiv:2103.00020.
 * - `sigmoid`: each label is judged alone, by σ(score + bias), so that none may fit, or several. SigLIP, arXiv:2303.15343.
 */
export type Scoring = { readonly kind: "softmax" } | { readonly kind: "sigmoid"; readonly bias: number };
