"""Generator of SynVI, synthetic visible and near-infrared pedestrians.

    body         anny's body, posed, with the fields over its skin
    wardrobe     what one identity looks like: shape, garments, carried things, fabrics
    surface      one mesh of what is rendered
    drape        cloth that hangs: skirts, tops, coats
    accessories  shoes, hair, hats, bags
    outfit       the dressed person, from all of these
    fabric       which material a point of a surface shows: borders and patterns
    gait         how the bones of a walking person turn
    scene        cameras, backgrounds, things that stand in the way
    view         the lens and its rays
    render       rays, light and sensor: from a person and a camera to an image

World frame: metres, x to the right, y away from the camera, z up; people face -y.
"""
