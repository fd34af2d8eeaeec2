"""The main job as a story: ``story.py`` tells it, ``stage.py`` starts what it needs, ``agent/`` is what is deployed."""
