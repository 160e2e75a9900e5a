"""Runs that go on until their claims are decided: pairs of people in rounds, to the variants whose claims are open."""
