"""Speed, measured so that the number can be believed: interleaved arms, medians with spread, and reasons to void."""
