"""The products that the shop opens with: 20 teas, 20 pots, 20 cups."""

from __future__ import annotations

TEAS = [
    ("Green Sencha", "A fresh, grassy leaf from the first harvest, steamed and rolled.", 450),
    ("Green Gunpowder", "Small tight pearls with a smoky edge; the base of mint tea.", 390),
    ("Green Dragonwell", "Flat leaves, roasted in the pan, with the sweetness of chestnuts.", 690),
    ("Green Genmaicha", "Sencha with toasted rice: nutty, light and warming.", 480),
    ("Green Matcha", "Shaded leaves, ground on stone to a fine powder for the whisk.", 1290),
    ("Black Assam", "Strong and malty; it carries milk.", 420),
    ("Black Darjeeling", "A first flush with the scent of muscat grapes.", 720),
    ("Black Ceylon", "Bright and brisk, grown high on the hills.", 460),
    ("Black Keemun", "Wine and cocoa, with a long finish.", 640),
    ("Black Lapsang", "Dried over pine fires, deeply smoky.", 590),
    ("White Peony", "Buds and young leaves, withered in the sun; mild as melon.", 760),
    ("White Silver Needle", "Buds only, downy and sweet.", 1390),
    ("Oolong Iron Goddess", "Half fermented, floral as lilac.", 820),
    ("Oolong Red Robe", "Roasted long and slowly: stone fruit and minerals.", 980),
    ("Oolong Milk", "Creamy without any milk.", 870),
    ("Yellow Mountain", "Rare, mellow and sealed to yellow slowly.", 1490),
    ("Dark Pu-erh", "Aged in cakes; earthy and smooth.", 890),
    ("Herbal Camomile", "Whole flowers, calming before sleep.", 350),
    ("Herbal Peppermint", "Cool leaves, from the field to the pot.", 340),
    ("Herbal Rooibos", "Red, sweet and without caffeine.", 380),
]
SHAPES = ("Round", "Tall", "Low", "Travel")
POT_MATERIALS = (
    ("Clay", "Unglazed clay that remembers every brew", 4900),
    ("Glass", "Clear glass to watch the leaves open", 3900),
    ("Iron", "Cast iron that keeps the heat for an hour", 8900),
    ("Porcelain", "Thin porcelain, quick to pour", 5900),
    ("Steel", "Double steel walls that survive any fall", 4500),
)
CUP_MATERIALS = (
    ("Clay", "Unglazed clay, rough in the hand", 1400),
    ("Glass", "Clear glass, cool at the rim", 900),
    ("Enamel", "Enamel for the garden and the tent", 1100),
    ("Porcelain", "Thin porcelain that lets the light through", 1900),
    ("Wood", "Turned wood that never burns the fingers", 2100),
)


def _product(kind: str, number: int, name: str, description: str, cents: int) -> dict[str, object]:
    text = f"€ {cents // 100}.{cents % 100:02d}"
    return {
        "sku": f"{kind}-{number:02d}", "kind": kind, "name": name, "description": description, "price_cents": cents, "price_text": text,
    }  # fmt: skip


def _wares(kind: str, noun: str, materials: tuple[tuple[str, str, int], ...]) -> list[dict[str, object]]:
    wares = [(f"{shape} {material} {noun}", f"{told}. {shape} in shape.", cents + 100 * step)
             for material, told, cents in materials for step, shape in enumerate(SHAPES)]  # fmt: skip
    return [_product(kind, number, *ware) for number, ware in enumerate(wares, 1)]


PRODUCTS = [
    *(_product("tea", number, *tea) for number, tea in enumerate(TEAS, 1)),
    *_wares("pot", "Pot", POT_MATERIALS),
    *_wares("cup", "Cup", CUP_MATERIALS),
]
