"""Networks of many parameters: noise that is made from numbers, and what a population costs."""
