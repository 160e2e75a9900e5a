"""Speed, measured so that the number can be trusted: interleaved arms, medians with spread, and reasons to void."""
