"""Series and the page: a store that programs write, snapshots on a tick, encoders of the text formats.

May import errors, model, ports. A scrape only encodes what changed: no guest code, no map walk, no API call.
"""
