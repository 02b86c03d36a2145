"""Drop-in modules for the NumPy networks that people have: their names, argument forms and shapes, computed by
``fastconv.functional``.
"""
