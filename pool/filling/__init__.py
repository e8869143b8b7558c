"""What keeps the pool filled: the stocks that are kept, when to refill, who may, and the record of fills."""
